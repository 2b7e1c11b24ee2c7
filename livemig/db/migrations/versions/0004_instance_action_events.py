"""Create the table instance_action_events."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0004'
down_revision = '0003'


def upgrade():
    steps.create_table(
        'instance_action_events',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('action_id', sa.Integer(), nullable=False),
        sa.Column('event', sa.String(255), nullable=False),
        sa.Column('host', sa.String(255)),
        sa.Column('start_time', steps.TIME),
        sa.Column('finish_time', steps.TIME),
        sa.Column('result', sa.String(255)),
        sa.Column('details', steps.LONG_TEXT),
        sa.Column('traceback', steps.LONG_TEXT),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.ForeignKeyConstraint(
            ['action_id'],
            ['instance_actions.id'],
            name='fk_events_action_id',
        ),
    )
    steps.create_index(
        'ix_instance_action_events_action',
        'instance_action_events',
        ['action_id', 'id'],
    )


def downgrade():
    steps.drop_table('instance_action_events')
