/** Checks what members wrote down of their consensus cores: see docs/trace.md. */
import { bundle } from './bundle.mjs';
import { run } from './lib.mjs';

try {
  const path = await bundle('test/trace-check/main.ts', 'quorate-trace-check', []);
  process.exitCode = await run(process.execPath, [path, ...process.argv.slice(2)]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
