"""Create the table instance_actions."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0003'
down_revision = '0002'


def upgrade():
    steps.create_table(
        'instance_actions',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('action', sa.String(255), nullable=False),
        sa.Column('request_id', sa.String(255), nullable=False),
        sa.Column('user_id', sa.String(255)),
        sa.Column('project_id', sa.String(255)),
        sa.Column('start_time', steps.TIME),
        sa.Column('finish_time', steps.TIME),
        sa.Column('message', sa.String(255)),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.UniqueConstraint(
            'instance_uuid', 'request_id',
            name='uniq_instance_actions0instance_uuid0request_id',
        ),
    )
    steps.create_index(
        'ix_instance_actions_created',
        'instance_actions',
        ['instance_uuid', 'created_at', 'id'],
    )


def downgrade():
    steps.drop_table('instance_actions')
