"""Fetches rows from a database and uploads them; scripts/demo runs it while the remote side is down."""

import flow_api


def handler(system: flow_api.System, this: flow_api.Execution):
    data = this.connect("database", fetch="SELECT * FROM data").get("output_value")["result"]
    this.create_dump("with-fetched-data")
    this.connect("remote-api", method="post", path="/upload", json=data)
    return this.success("all done")
