-- For one event; the same list of values follows for each further one.
insert into events (position, stream, category, version, id, type, schema_version, data, metadata,
                    correlation_id, causation_id, occurred_at, recorded_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
