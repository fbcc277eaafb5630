"""The web page: what people look at. Made on the server; everything but live counts works without JavaScript."""
