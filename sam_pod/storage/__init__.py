"""Files and folders, on a disk, in a bucket or on a server."""
