"""Where a run can be submitted to.

    job         what is run, on what; names and labels that platforms accept
    schema      documents checked offline against the platforms' own schemas
    local       processes on this machine
    tpu_vm      Cloud TPU VMs, as queued resources
    gke         a JobSet on Google Kubernetes Engine
    batch       Google Cloud Batch, GPUs only

A platform is a frozen dataclass whose fields are its flags. It makes a `Plan`:
files, and the commands of the platform's own client that use them. It keeps no
state, and imports no client library.
"""
