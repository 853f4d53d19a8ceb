insert into parked (projection, generation, position, event_id, stream, type, bytes, attempts, error, retry,
                    parked_at, error_code)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (projection, generation, position) do update
set attempts = excluded.attempts, error = excluded.error, error_code = excluded.error_code,
    retry = excluded.retry, parked_at = excluded.parked_at
