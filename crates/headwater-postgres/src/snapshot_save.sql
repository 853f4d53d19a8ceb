insert into {schema}.snapshots (stream, version, position, event_id, fingerprint, state)
values ($1, $2, $3, $4, $5, $6)
on conflict (stream) do update
set version = excluded.version,
    position = excluded.position,
    event_id = excluded.event_id,
    fingerprint = excluded.fingerprint,
    state = excluded.state,
    recorded_at = excluded.recorded_at
