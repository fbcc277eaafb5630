"""Sources in object stores, and behind the connections that an operator named."""
