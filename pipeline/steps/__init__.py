"""The steps of stage two as plain functions: commands call them as they are, flows show them in Prefect."""
