"""A local Metis gateway: real HTTP on loopback, the answers and refusals of the real one.

::

    faults      what goes wrong, when, and how often
    options     what a gateway is made of: models, people, limits
    clock       time that runs `speed` times faster, for windows and caches
    shapes      the five shapes of an error, and answers as bytes
    access      tokens, and what a token may be refused for
    rates       requests a second, tokens a minute
    models      model list, statuses, maintenance, the status page and its cache
    bodies      what the gateway checks in a request
    replies     what a rule answers, and the completion made from it
    ledger      what was asked and what was answered
    streams     server-sent events
    upstream    passing a request on to another server
    globus_auth Globus Auth's token endpoint and login pages
    core        all of these as one object
    chat        one chat completion, from body to answer
    control     changing and reading a running gateway
    app         routes, and the order of the checks
    handle      the methods that a test calls
    server      in a thread (`Gateway`), or until a signal (`serve`)
    process     in a process of its own (`GatewayProcess`)

Each imports only from those above it.
"""
