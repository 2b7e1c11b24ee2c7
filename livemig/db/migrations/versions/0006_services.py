"""Create the table services."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0006'
down_revision = '0005'


def upgrade():
    steps.create_table(
        'services',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('uuid', sa.String(36), nullable=False),
        sa.Column('host', sa.String(255), nullable=False),
        sa.Column('binary', sa.String(255), nullable=False),
        sa.Column('topic', sa.String(255)),
        sa.Column('version', sa.Integer()),
        sa.Column('disabled', sa.Boolean(), nullable=False),
        sa.Column('disabled_reason', sa.String(255)),
        sa.Column('forced_down', sa.Boolean(), nullable=False),
        sa.Column('last_seen_at', steps.TIME),
        sa.Column('facts', steps.JSON),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.Column('deleted', sa.Integer(), nullable=False),
        sa.UniqueConstraint(
            'host', 'binary', 'deleted',
            name='uniq_services0host0binary0deleted',
        ),
        sa.UniqueConstraint(
            'uuid',
            name='uniq_services0uuid',
        ),
    )


def downgrade():
    steps.drop_table('services')
