"""The rules of format 1 that can be checked on a store.

Each validator yields what breaks its rule; its docstring is the sentence of store_schema/README.md.
"""
