"""What Nova's tests cannot ask: the operator in charge of a migration."""
