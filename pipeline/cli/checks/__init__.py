"""What `pipeline doctor` looks at: one file per part of the installation, each yields checks."""
