select current_setting('server_version') as version,
       current_setting('server_version_num')::int as number,
       pg_is_in_recovery() as standby,
       clock_timestamp() as now,
       pg_database_size(d.oid) as size,
       age(d.datfrozenxid)::bigint as xid_age,
       mxid_age(d.datminmxid)::bigint as multixact_age,
       d.datconnlimit::bigint as database_limit,
       r.rolconnlimit::bigint as role_limit,
       (select coalesce(sum(b.numbackends), 0)::bigint from pg_stat_database b) as connections,
       (select coalesce(max(m.number), 0)::int from {schema}.migrations m) as schema_number
from pg_database d, pg_roles r
where d.datname = current_database() and r.rolname = current_user
