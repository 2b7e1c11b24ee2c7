"""Create the table flavors."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0008'
down_revision = '0007'


def upgrade():
    steps.create_table(
        'flavors',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('flavor_id', sa.String(255), nullable=False),
        sa.Column('name', sa.String(255), nullable=False),
        sa.Column('ram_mib', sa.Integer(), nullable=False),
        sa.Column('vcpus', sa.Integer(), nullable=False),
        sa.Column('disk_gib', sa.Integer(), nullable=False),
        sa.Column('ephemeral_gib', sa.Integer(), nullable=False),
        sa.Column('swap_mib', sa.Integer(), nullable=False),
        sa.Column('description', steps.LONG_TEXT),
        sa.Column('is_public', sa.Boolean(), nullable=False),
        sa.Column('extra_specs', steps.JSON),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.UniqueConstraint(
            'flavor_id',
            name='uniq_flavors0flavor_id',
        ),
        sa.UniqueConstraint(
            'name',
            name='uniq_flavors0name',
        ),
    )


def downgrade():
    steps.drop_table('flavors')
