"""What can be configured: YAML groups give the values, `conf.schema` the keys, types and bounds."""
