"""Sandboxes outlive the program that made them: find them again by id or tag, adopt them, clean up by tag or age."""

from datetime import datetime, timedelta, timezone

import cwsandbox
from cwsandbox import Sandbox, SandboxDefaults, Session

TAG = "example-clean-up"
made = [Sandbox.run(tags=[TAG]).wait() for _ in range(4)]
made[0].write_file("/tmp/state", b"what an earlier program left").result()

# By id
sandbox_id = made[0].sandbox_id
assert sandbox_id is not None  # only a sandbox that was never started has none
again = Sandbox.from_id(sandbox_id).result()
print(again.read_file("/tmp/state").result().decode())

# A session takes over one of them and stops it at its end
with Session(SandboxDefaults(tags=(TAG,))) as session:
    session.adopt(again)
    print("adopted:", session.sandbox_count)

# By age. started_at has no time zone; it is UTC.
now = datetime.now(timezone.utc).replace(tzinfo=None)
old = [sb for sb in Sandbox.list(tags=[TAG]).result() if sb.started_at and now - sb.started_at > timedelta(hours=1)]
print("older than an hour:", len(old))

# By tag, all at once. (Sandbox.delete(id) needs no object and does not wait for the end.)
cwsandbox.results([sb.stop(graceful_shutdown_seconds=0, missing_ok=True) for sb in Sandbox.list(tags=[TAG]).result()])
print("left:", len(Sandbox.list(tags=[TAG]).result()))
print("remembered:", len(Sandbox.list(tags=[TAG], show_terminated=True).result()) >= 4)
