"""Object stores: S3, Google Cloud Storage and Azure Blob Storage, through obstore.

What reads from them is in `sources`, what writes to them in `exports`.
"""
