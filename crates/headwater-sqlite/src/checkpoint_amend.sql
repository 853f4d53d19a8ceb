update checkpoints
set state = $5,
    position = $6,
    event_id = $7,
    event_position = $8,
    fingerprint = $9,
    failed_position = $10,
    failed_event_id = $11,
    error = $12,
    error_code = $18,
    skips = $19,
    paused = $13,
    held_back = $14,
    rebuild_asked = $15,
    incarnation = case when $17 then (select incarnation from identity) else incarnation end,
    epoch = epoch + 1
where projection = $1 and generation = $2 and epoch = $3 and position = $4
  and ($16 is null or exists (
      select 1 from leases
      where leases.projection = $1 and leases.work = checkpoints.state and leases.owner = $16))
