"""What a Permafrost feature store is: its format, validation, opening, quantisation and integrity.

Imports none of the other packages. The specification is `store_schema/README.md`.
"""
