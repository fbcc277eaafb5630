"""What is said about the API, made from the table of operations: the OpenAPI document and the reference page."""
