"""The run folder: journal, driver lock, locked inputs, requests, and what can be read from them.

Everything here is append-only lines and renames on the standard library, so that a record can be read from one machine
while another writes it, on a parallel file system. Readers never write.
"""
