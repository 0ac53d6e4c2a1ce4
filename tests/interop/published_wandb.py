"""The published client 1.22.0 with the package `wandb`: its own W&B auth mode, against a service that accepts such keys of its key file."""

import os

from cwsandbox import AuthStrategy, Sandbox, Session, WandbAuth

assert "CWSANDBOX_API_KEY" not in os.environ
for way, auth in [("strategy", AuthStrategy.WANDB), ("team", WandbAuth(entity="team", project="project"))]:
    sandbox = Sandbox.run("sleep", "60", container_image="host", auth=auth)
    assert sandbox.exec(["echo", way]).result().stdout == f"{way}\n"
    assert [found.sandbox_id for found in Sandbox.list(auth=auth).result()] == [sandbox.sandbox_id]
    sandbox.stop().result()
    print(way)

with Session(auth=AuthStrategy.WANDB) as session:
    assert session.sandbox(container_image="host").exec(["true"]).result().returncode == 0
print("session")
