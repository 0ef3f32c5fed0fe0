"""The console: what people look at. Pages are made here, on the server; scripts only add what is live."""
