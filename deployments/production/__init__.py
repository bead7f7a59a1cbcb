"""Running the flows on a Prefect server: what is deployed, and setting it up."""
