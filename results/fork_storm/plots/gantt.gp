# Drawn by forksim plot; run `gnuplot gantt.gp` in this folder to draw it again.
set terminal svg size 1200,470 font "DejaVu Sans,13" background "white" noenhanced name "gantt"
set output "gantt.svg"
set title "fork_storm on bcm2711, kernel rpi-4.19-arm64, seed 1, 0.000 to 60.000 ms of 292.017"
set xlabel "simulated time (ms)"
set xrange [0:60]
set yrange [3.6:-0.6]
set ytics ("CPU 0" 0, "CPU 1" 1, "CPU 2" 2, "CPU 3" 3)
set format x "%g"
set grid xtics lt 1 lw 1 lc rgb "#e0e0e0"
set border 3
set tics nomirror out
set key outside right top vertical Left reverse samplen 1.5 spacing 1.2
set style fill solid 1.0 noborder
plot "gantt.dat" using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable notitle, \
     keyentry with boxes lc rgb "#0072b2" title "storm", \
     keyentry with boxes lc rgb "#9a9a9a" title "other names", \
     "gantt-forks.dat" using 1:2 with points pt 11 ps 0.9 lc rgb "#006400" title "fork (161)", \
     "gantt-exits.dat" using 1:2 with points pt 2 ps 0.7 lw 1.5 lc rgb "#b00020" title "exit (11)"
unset output
set terminal pngcairo size 1200,470 font "DejaVu Sans,13" background "white" noenhanced
set output "gantt.png"
replot
unset output
