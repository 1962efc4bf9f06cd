# Drawn by forksim plot; run `gnuplot effect-totals-wakeups.gp` in this folder to draw it again.
set terminal svg size 1000,320 font "DejaVu Sans,13" background "white" noenhanced name "effect_totals_wakeups"
set output "effect-totals-wakeups.svg"
set title "stack_cache: totals.wakeups by stacks"
set xlabel "totals.wakeups relative to stacks = 2, 95 % interval, 20 seeds"
set xrange [0.9135:1.364]
set format x "%.4g"
set yrange [0.4:2.6]
set ytics ("0" 2, "8" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-totals-wakeups.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-totals-wakeups.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "make_j4", \
     "effect-totals-wakeups.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "fork_rate", \
     "effect-totals-wakeups.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_clients"
unset output
set terminal pngcairo size 1000,320 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-totals-wakeups.png"
replot
unset output
