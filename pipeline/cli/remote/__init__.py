"""Commands against a server: what they do where PIPELINE_SERVER_URL names one.

The command `NAME` is the function `NAME` of the module `pipeline.cli.remote.NAME`, with the parameters of the command
that works on a database.
"""
