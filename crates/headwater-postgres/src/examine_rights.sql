select r.name, r.privilege, has_table_privilege('{schema}.' || r.name, r.privilege) as held
from (values ('events', 'select'), ('streams', 'select'), ('checkpoints', 'select'), ('settled', 'select'),
             ('snapshots', 'select'),
             ('events', 'insert'), ('streams', 'insert'), ('streams', 'update'),
             ('settled', 'update'),
             ('snapshots', 'insert'), ('snapshots', 'update'),
             ('checkpoints', 'insert'), ('checkpoints', 'update'), ('checkpoints', 'delete')) as r (name, privilege)
