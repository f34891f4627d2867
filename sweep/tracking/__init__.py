"""The only room that imports mlflow: stores, parent and child runs."""
