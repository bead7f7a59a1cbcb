"""How stages run under Prefect and Ray."""
