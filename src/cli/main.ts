#!/usr/bin/env node
/** Entry of the command `quorate`. */
import './quiet-grpc.ts';

import type { Shell } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { runProgram } from './program.ts';

/** Two signals within this time mean: at once. */
const controller = new AbortController();
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    signals += 1;
    if (signals > 1) process.exit(EXIT.interrupted);
    controller.abort(new Error(`stopped by ${signal}`));
  });
}

for (const stream of [process.stdout, process.stderr]) {
  // The reader has gone (`| head`): there is nobody left to work for, and nothing to complain about.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.unexpected);
  });
}

const shell: Shell = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: controller.signal,
  exitCode: EXIT.ok,
};

try {
  await runProgram(shell, process.argv.slice(2));
} catch (error) {
  const debug = process.env.QUORATE_DEBUG === '1';
  const text = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  process.stderr.write(`quorate: ${text}${debug ? '' : ' (QUORATE_DEBUG=1 shows more)'}\n`);
  shell.exitCode = EXIT.unexpected;
}
process.exitCode = shell.exitCode;
