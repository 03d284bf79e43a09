/** Everything that must hold before a commit, cheapest first. Runs every step and ends with a table. */
import { run } from './lib.mjs';

const steps = [
  { name: 'format and lint', script: 'lint' },
  { name: 'types', script: 'typecheck' },
  { name: 'architecture', script: 'check-architecture' },
  { name: 'generated code up to date', script: 'check-generated' },
  { name: 'tests', script: 'test' },
];

/** @type {string[]} */
const lines = [];
let failed = 0;
for (const step of steps) {
  console.log(`\n── ${step.name} (npm run ${step.script})`);
  const startedMs = performance.now();
  const code = await run('npm', ['run', '--silent', step.script]);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (code !== 0) failed++;
  lines.push(`${code === 0 ? 'ok    ' : 'FAILED'} ${step.name} (${seconds} s)`);
}
console.log(`\n${lines.join('\n')}`);
process.exitCode = failed === 0 ? 0 : 1;
