-- Large payloads are compressed with lz4 where the server was built with it: quicker than pglz, for a little
-- more space. What is stored already stays as it is.

do $$
begin
    alter table {schema}.events alter column data set compression lz4;
    alter table {schema}.snapshots alter column state set compression lz4;
exception
    when feature_not_supported then null;
end
$$;
