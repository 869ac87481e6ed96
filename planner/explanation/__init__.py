"""Why a plan is as it is, and where the method cannot do well."""
