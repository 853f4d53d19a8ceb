select (select t.tgenabled::text
        from pg_trigger t
        where t.tgrelid = '{schema}.events'::regclass and t.tgname = 'append_only') as guard,
       array(select k.name
             from unnest(array['events_pkey', 'events_id', 'events_stream_version']) as k (name)
             where not exists (select from pg_constraint c
                               join pg_index i on i.indexrelid = c.conindid and i.indisvalid and i.indisready
                               where c.conrelid = '{schema}.events'::regclass and c.conname = k.name)) as keys,
       s.seqcache as cache,
       s.seqmax as highest,
       s.seqcycle as cycle,
       case when has_sequence_privilege(s.seqrelid, 'select, usage') then pg_sequence_last_value(s.seqrelid) end as drawn,
       (select coalesce(max(e.position), 0) from {schema}.events e) as head
from pg_sequence s
where s.seqrelid = pg_get_serial_sequence('{schema}.events', 'position')::regclass
