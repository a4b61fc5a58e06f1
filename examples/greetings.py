"""Asks a person whom to greet, greets each of them in a child execution, and keeps the greetings in a file.

snapctl run examples/greetings.py --name greetings
snapctl message ls
snapctl message answer ID -v names=Ada,Grace
snapctl file get greetings
"""

import flow_api

GREETER = """
def handler(system, this):
    who = this.get("input_value")["who"]
    this.save(output_value=f"Hello {who}!")
"""
FORM = {
    "type": "object",
    "properties": {"names": {"label": "Names, with commas between them", "type": "string", "minLength": 1}},
    "required": ["names"],
}


def handler(system: flow_api.System, this: flow_api.Execution):
    question = system.message(subject="Whom shall I greet?", body=FORM)
    names = question.wait().get("response")["names"].split(",")
    children = [this.script(GREETER, who=name.strip(), wait=False) for name in names]
    this.wait_for(children)
    greetings = [child.get("output_value") for child in children]
    system.file("greetings").save("\n".join(greetings) + "\n")
    this.set_output(greetings=greetings)
    return this.success(f"greeted {len(greetings)}")
