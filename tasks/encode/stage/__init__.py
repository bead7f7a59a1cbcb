"""The encode stages: shards to Parquet, and what is not encoded again."""
