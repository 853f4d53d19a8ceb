select s.version, s.position, s.event_id, s.fingerprint, s.state
from snapshots s
where s.stream = $1
