"""Create the table instance_faults."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0005'
down_revision = '0004'


def upgrade():
    steps.create_table(
        'instance_faults',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('code', sa.Integer()),
        sa.Column('message', steps.LONG_TEXT),
        sa.Column('details', steps.LONG_TEXT),
        sa.Column('host', sa.String(255)),
        sa.Column('created_at', steps.TIME, nullable=False),
    )
    steps.create_index(
        'ix_instance_faults_instance',
        'instance_faults',
        ['instance_uuid', 'id'],
    )


def downgrade():
    steps.drop_table('instance_faults')
