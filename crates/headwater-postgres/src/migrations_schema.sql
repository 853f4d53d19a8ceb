do $$
begin
    -- No right to make a schema is needed where it is there already.
    if to_regnamespace('{schema}') is null then
        create schema if not exists {schema};
    end if;
end
$$
