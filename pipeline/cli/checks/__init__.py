"""The checks of `pipeline doctor`: one module per part of the installation."""
