"""The controller: executions, savepoints and the journal of calls, behind gRPC, over a database, Docker and a store."""
