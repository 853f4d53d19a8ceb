-- Which of these streams another transaction holds, by a row that it has locked or has just begun.
-- Changes nothing: each attempt is taken back.
create or replace function {schema}.held_streams(p_streams text[])
returns setof text
language plpgsql
as $$
declare
    v_stream text;
begin
    perform set_config('lock_timeout', '1', true);
    foreach v_stream in array p_streams loop
        begin
            insert into {schema}.streams (stream, version)
            values (v_stream, 0)
            on conflict (stream) do nothing;
            perform from {schema}.streams s where s.stream = v_stream for no key update;
            raise exception using errcode = 'HWFRE';
        exception
            when lock_not_available then
                return next v_stream;
            when sqlstate 'HWFRE' then
                null;
        end;
    end loop;
end
$$;
