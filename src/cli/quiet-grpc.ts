/** grpc-js writes its own words to stderr unless told otherwise before it is loaded; ours say the same and what to do. */
process.env.GRPC_VERBOSITY ??= 'NONE';
