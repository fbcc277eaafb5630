"""Pure rules of delivery: values in, decisions out."""
