"""What every request passes: drain, measurement, security headers, the limit on bodies."""
