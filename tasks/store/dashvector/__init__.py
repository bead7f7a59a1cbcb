"""The store of the DashVector service."""
