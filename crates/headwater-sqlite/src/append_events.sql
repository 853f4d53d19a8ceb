insert into events (position, stream, category, version, id, type, schema_version, data, metadata,
                    correlation_id, causation_id, occurred_at, recorded_at)
values
