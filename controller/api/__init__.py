"""The gRPC face of the controller: unpack, call the core, pack."""
