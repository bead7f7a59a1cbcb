"""One contract, several vector databases: zvec (embedded) and DashVector (service)."""
